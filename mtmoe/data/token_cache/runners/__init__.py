"""Who writes shards: local processes or Apache Beam."""
