-- What is written once stays: transfers and the audit log know no UPDATE, DELETE or TRUNCATE, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfers_never_emptied BEFORE TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_never_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A reversal is the mirror of a transfer that is no reversal itself. The WHEN keeps all other inserts free of it.
CREATE FUNCTION check_reversal() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM transfers t WHERE t.id = NEW.original_id AND t.kind <> 'reversal'
        AND t.debit_id = NEW.credit_id AND t.credit_id = NEW.debit_id AND t.amount_nano = NEW.amount_nano;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING MESSAGE = 'a reversal that is no mirror: ' || NEW.id, ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER transfers_reversals_mirror BEFORE INSERT ON transfers
    FOR EACH ROW WHEN (NEW.kind = 'reversal') EXECUTE FUNCTION check_reversal();

REVOKE ALL ON FUNCTION refuse_change, check_reversal FROM PUBLIC;
