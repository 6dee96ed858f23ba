"""AWS: the only code that imports botocore or aioboto3."""
