"""Taking clips out of shards and runs after they were published."""
