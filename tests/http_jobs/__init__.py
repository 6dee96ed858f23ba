"""An HTTP job service for tests: as friendly or as hostile as a test says, and it keeps what came over the wire."""
