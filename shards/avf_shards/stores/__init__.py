"""Object stores: runs, shards and sources at addresses such as `s3://bucket/folder`."""
