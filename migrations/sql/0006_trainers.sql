-- Trainers are rows of the registry that orders of training refer to; no node is asked to serve one.
ALTER TABLE models DROP CONSTRAINT ck_models_format, ADD CONSTRAINT ck_models_format
    CHECK (format IN ('onnx', 'remote', 'trainer'));
-- Those that the way down has hidden.
UPDATE models SET format = 'trainer', deleted_at = NULL WHERE starts_with(uri, 'trainers/');

CREATE OR REPLACE FUNCTION node_models() RETURNS TABLE (
    model_id uuid, model_name text, model_version int, checksum text, uri text, signature jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.id, m.name, m.version, m.checksum, m.uri, m.signature FROM models m
    WHERE m.format <> 'trainer'
      AND (m.deleted_at IS NULL
           OR EXISTS (SELECT FROM orders o WHERE o.state = 'open' AND o.model_id = m.id)
           OR EXISTS (SELECT FROM orders o WHERE o.state IN ('running', 'closing') AND o.model_id = m.id))
    ORDER BY m.name, m.version
$$;
