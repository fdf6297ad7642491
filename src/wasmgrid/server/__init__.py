"""The public face over HTTP: requests parsed, checked, handed to the store and the leader, and answered.

It decides nothing about scheduling and writes no outcome. A route is a few lines in the file of its group; what a
submission must pass is in `submission`, who may ask in `guards`, how an error becomes a response in `problems`.
"""
