-- More kinds of agent: what stands for nodes that are an inference server of somebody else's, and the gateway's gRPC face.
ALTER TABLE agents DROP CONSTRAINT ck_agents_kind, ADD CONSTRAINT ck_agents_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external', 'manager'));
ALTER TABLE fleet DROP CONSTRAINT ck_fleet_kind, ADD CONSTRAINT ck_fleet_kind
    CHECK (kind IN ('api', 'grpc', 'pricing', 'allocation', 'settlement', 'inference', 'external', 'manager'));
