"""The inference agent: runs claimed units of work and answers real-time requests with the models it holds."""
