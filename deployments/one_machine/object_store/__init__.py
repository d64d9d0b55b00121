"""OpenStack Swift with its S3 API, all four servers in one process: the one machine's object store."""
