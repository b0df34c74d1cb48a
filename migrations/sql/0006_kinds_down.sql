DELETE FROM agents WHERE kind = 'training-round';
DELETE FROM fleet WHERE kind = 'training-round';
ALTER TABLE agents DROP CONSTRAINT ck_agents_kind, ADD CONSTRAINT ck_agents_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external', 'manager'));
ALTER TABLE fleet DROP CONSTRAINT ck_fleet_kind, ADD CONSTRAINT ck_fleet_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external', 'manager'));
