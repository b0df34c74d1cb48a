"""On which leases real-time requests run, and how they are paid: sessions of one buyer, pools shared by small ones."""
