"""The fabric stage: messages and blobs between servers and workers, over NATS.

`connection` one connection that reconnects for ever · `subjects` every subject there is · `transfer` blobs in frames ·
`embedded` the nats-server that `wasmgrid up` brings along.
"""
