"""Recognition as a service, for this machine or a network: HTTP, a stream, and nothing that trains.

settings    limits, and what may be asked
problems    what goes wrong, as those who ask are told it
batching    what many ask for at the same time is heard together
uploads     recordings in the bodies of requests
formats     timelines as JSON, CSV or WebVTT
analysis    a recording that was sent, to what is heard in it
jobs        long recordings, one after the other, in SQLite
live        the stream
measures    what can be measured of a server
page        what browsers show of it
app         all of it behind addresses

An `affetto serve` calls nobody, and keeps and logs neither sound nor words.
"""
