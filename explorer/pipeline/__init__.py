"""A build as resumable stages."""
