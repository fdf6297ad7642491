"""The fabric stage: messages and blobs between servers and workers, over NATS.

`connection` one connection that reconnects for ever, over `link` (once), with `inbox` (answers) and `subscription`
(served subjects) · `subjects` every subject there is · `versions` frames of another protocol version · `transfer` and
`blobserver` blobs in frames · `embedded` the nats-server that `wasmgrid up` brings along · `cluster` files for many ·
`authorization` who may do what · `credentials` key pairs in files · `certificates` the grid's own authority.
"""
