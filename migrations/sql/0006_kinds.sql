-- One more kind of agent: the one that drives training jobs.
ALTER TABLE agents DROP CONSTRAINT ck_agents_kind, ADD CONSTRAINT ck_agents_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external',
                    'training-round', 'manager'));
ALTER TABLE fleet DROP CONSTRAINT ck_fleet_kind, ADD CONSTRAINT ck_fleet_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external',
                    'training-round', 'manager'));
