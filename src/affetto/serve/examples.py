"""What answers look like, for the description of a server's addresses."""

from typing import Any

STATUSES = {
    400: "The body is empty, or no form with a file.",
    401: "A token is needed.",
    404: "There is none.",
    406: "It cannot be given as what is accepted.",
    408: "The body came too slowly.",
    413: "The recording is too large or too long.",
    422: "The recording cannot be heard, or the query makes no sense.",
    429: "There is too much to do; Retry-After says when to come again, in seconds.",
    503: "The server stops, or it took too long.",
}

_UTTERANCE: dict[str, Any] = {
    "start": 0.13,
    "end": 1.89,
    "channel": None,
    "speaker": None,
    "emotion": "anger",
    "confidence": 0.81,
    "probabilities": {"anger": 0.81, "happiness": 0.12, "neutral": 0.07},
    "dimensions": {},
    "flags": [],
    "label_set": [],
    "reliable": None,
    "notes": [],
    "words": None,
    "reason": None,
}

ANALYSIS: dict[str, Any] = {
    "application/json": {
        "example": {
            "file": "12b02Wd.wav",
            "seconds": 1.93,
            "model": "whisper4",
            "labels": ["anger", "happiness", "neutral"],
            "utterances": [_UTTERANCE],
            "damage": None,
        }
    },
    "text/csv": {
        "schema": {"type": "string"},
        "example": "file,start,end,channel,speaker,emotion,confidence,anger,happiness,neutral,words,reason,flags\n"
        "12b02Wd.wav,0.130000,1.890000,,,anger,0.810000,0.810000,0.120000,0.070000,,,\n",
    },
    "text/vtt": {
        "schema": {"type": "string"},
        "example": "WEBVTT\n\n00:00:00.130 --> 00:00:01.890\nanger 81 %\n",
    },
}

JOB: dict[str, Any] = {
    "application/json": {
        "example": {
            "id": "6f1c0d5be9c44a0f8b1c5f0f3a0f9a55",
            "state": "running",
            "progress": 0.42,
            "created": 1767225600.0,
            "result": None,
            "problem": None,
        }
    }
}
