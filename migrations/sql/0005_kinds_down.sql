DELETE FROM agents WHERE kind IN ('external', 'grpc');
DELETE FROM fleet WHERE kind IN ('external', 'grpc');
ALTER TABLE agents DROP CONSTRAINT ck_agents_kind, ADD CONSTRAINT ck_agents_kind
    CHECK (kind IN ('api', 'pricing', 'allocation', 'settlement', 'inference', 'manager'));
ALTER TABLE fleet DROP CONSTRAINT ck_fleet_kind, ADD CONSTRAINT ck_fleet_kind
    CHECK (kind IN ('api', 'pricing', 'allocation', 'settlement', 'inference', 'manager'));
