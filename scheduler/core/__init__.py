"""What a poll is: rows, effects, the protocol and its policy.

Standard library only and no I/O, so that the daemon and the poller Lambda run the very same code: `deploy` packs this
package into the Lambda's zip. It keeps to what Python 3.11 understands.
"""
