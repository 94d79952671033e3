"""From a matrix to cells, plan files and shards. Import its modules, not this."""
