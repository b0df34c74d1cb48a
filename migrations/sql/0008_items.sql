-- Items are checked a statement at a time, as trades and leases are: their three foreign keys were a seventh of what an
-- item costs the database. Their orders, leases and units stay, with their ids; an item's lease and unit are given to it
-- by one method of ours (backend/storage/work.py, `queue`), which makes the unit and takes the lease from its table: one
-- that is not there is NULL, which the constraint refuses.
CREATE TRIGGER units_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id ON units EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER work_items_stay BEFORE UPDATE OF id, order_id ON work_items EXECUTE FUNCTION refuse_loss();

CREATE FUNCTION check_work_items() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM (SELECT DISTINCT order_id FROM added) a WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = a.order_id)
    UNION ALL SELECT FROM (SELECT DISTINCT lease_id FROM added WHERE lease_id IS NOT NULL) a
        WHERE NOT EXISTS (SELECT FROM leases l WHERE l.id = a.lease_id)
    UNION ALL SELECT FROM (SELECT DISTINCT unit_id FROM added WHERE unit_id IS NOT NULL) a
        WHERE NOT EXISTS (SELECT FROM units u WHERE u.id = a.unit_id);
    IF FOUND THEN
        RAISE EXCEPTION USING MESSAGE = 'an item without its order, lease or unit', ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER work_items_refer AFTER INSERT ON work_items REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_work_items();

REVOKE ALL ON FUNCTION check_work_items FROM PUBLIC;

ALTER TABLE work_items ADD CONSTRAINT ck_work_items_placed_has_lease
    CHECK (state IN ('waiting', 'cancelled', 'dead') OR (lease_id IS NOT NULL AND unit_id IS NOT NULL));

-- An item is written five times within seconds: with room for its next version on its page, fewer pages change.
ALTER TABLE work_items SET (fillfactor = 50);
