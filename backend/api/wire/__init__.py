"""Wire schemas: what a request may hold and what an answer holds. Unknown fields are refused, money is a string."""
