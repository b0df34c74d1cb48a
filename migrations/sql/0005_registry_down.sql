CREATE OR REPLACE FUNCTION node_models() RETURNS TABLE (
    model_id uuid, model_name text, model_version int, checksum text, uri text, signature jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id, name, version, checksum, uri, signature FROM models ORDER BY name, version
$$;
