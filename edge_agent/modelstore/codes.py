"""Codes of a slot's status: of SyncError, why no model came; and why one that came did not stay."""

from __future__ import annotations

# What passes by itself: asking again later is all there is to do.
PASSING = {
    "offline": "the repository cannot be reached, or the link broke again and again",
    "busy": "the server asked for patience (503, 429), or another process holds the store",
    "too_slow": "fewer bytes a second than the floor, or the fetch took longer than it may",
    "stopped": "the agent is ending",
    "no_room": "the disk or the quota has no room for it",
    "disk": "the disk refuses to be written to or read from",
}

# What somebody has to look at: server, network, keys or clock.
LASTING = {
    "not_found": "the server has no such file",
    "bad_answer": "the server answered something else: a captive portal, a wrong range, an error",
    "too_large": "more bytes than there may be",
    "bad_blob": "the bytes are not those that the manifest names",
    "untrusted": "a signature, version or hash of the metadata does not hold",
    "expired": "the metadata is older than it may be: nobody signed it anew, or somebody hides it",
    "not_signed": "the `models` role vouches for no such model",
    "rolled_back": "the document is older than one that was seen before",
    "too_old": "the model is older than what ran here, or than its makers allow",
    "too_new": "the model asks for a newer agent",
    "no_variant": "the model has no variant for this hardware and its runtimes",
    "bad_document": "a signed file does not follow its schema",
}

CODES = PASSING | LASTING

# What is wrong with a model that came whole and signed: it is not tried again (states.py).
MODEL = {
    "files": "a file of the bundle is not what its manifest says",
    "model": "it does not load, does not fit, answers its golden samples wrongly or takes too long",
    "crash": "the self-test crashed",
    "memory": "it wanted more memory than it may have",
    "hang": "it did not come to an end",
    "disagrees": "it decided otherwise than the running model more often than its manifest allows",
    "errs": "more items ended in errors than its manifest allows",
    "slow": "on live items it took longer than its manifest allows",
    "worker_died": "the process it ran in died",
    "interrupted": "the agent ended while it was on its way, three times",
    "recalled": "somebody at the gateway went back to the model before",
    "quarantined": "it failed here before",
}
# Said to a fleet server alone: it asked for a slot that no pipeline here has.
NO_SLOT = "no_slot"
# Not the model's fault: it may come again.
WITHDRAWN = "withdrawn"
