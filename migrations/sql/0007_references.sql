-- What a clearing writes by the thousand is checked a statement at a time: a foreign key asks row by row, which was a
-- quarter of the epoch's time in the database. What is referred to so is never deleted and keeps its id, and what refers
-- to it never changes its mind: so what was right when it was written stays right.
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = 'rows of ' || TG_TABLE_NAME || ' stay, with their ids and what they refer to',
        ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER epochs_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id ON epochs EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER offers_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id ON offers EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER orders_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id ON orders EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER nodes_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id ON nodes EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER trades_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id, epoch_id, order_id, offer_id, node_id ON trades
    EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER leases_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF id, trade_id, order_id, node_id ON leases
    EXECUTE FUNCTION refuse_loss();

-- The plans are for rows that are looked up by their keys, however many there are when they are made.
CREATE FUNCTION check_trades() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM (SELECT DISTINCT epoch_id FROM added) a WHERE NOT EXISTS (SELECT FROM epochs e WHERE e.id = a.epoch_id)
    UNION ALL SELECT FROM (SELECT DISTINCT offer_id FROM added) a
        WHERE NOT EXISTS (SELECT FROM offers o WHERE o.id = a.offer_id)
    UNION ALL SELECT FROM (SELECT DISTINCT order_id FROM added) a
        WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = a.order_id);
    IF FOUND THEN
        RAISE EXCEPTION USING MESSAGE = 'a trade without its epoch, offer or order', ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION check_leases() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM (SELECT DISTINCT trade_id FROM added) a WHERE NOT EXISTS (SELECT FROM trades t WHERE t.id = a.trade_id)
    UNION ALL SELECT FROM (SELECT DISTINCT node_id FROM added) a
        WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.id = a.node_id);
    IF FOUND THEN
        RAISE EXCEPTION USING MESSAGE = 'a lease without its trade or node', ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER trades_refer AFTER INSERT ON trades REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_trades();
CREATE TRIGGER leases_refer AFTER INSERT ON leases REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_leases();

REVOKE ALL ON FUNCTION refuse_loss, check_trades, check_leases FROM PUBLIC;

-- A hold is lowered or charged soon after it was written: with room on its page the indexes need not learn of it.
ALTER TABLE holds SET (fillfactor = 50);
