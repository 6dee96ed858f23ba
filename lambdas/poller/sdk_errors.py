"""What boto3 raises where a call fails; `call_error` tells of each what it means."""

from botocore.exceptions import BotoCoreError, ClientError

SDK_ERRORS = (ClientError, BotoCoreError, OSError, UnicodeDecodeError)
