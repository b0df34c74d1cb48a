"""PostgreSQL, the truth: tables, the unit of work, and one repository per noun. Queries live here and nowhere else."""
