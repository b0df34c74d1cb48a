-- An allowance is an order of its own kind: real-time requests that share pooled leases.
ALTER TABLE orders DROP CONSTRAINT ck_orders_workload, ADD CONSTRAINT ck_orders_workload
    CHECK (workload IN ('inference', 'batch', 'training', 'session', 'requests'));
