DROP TRIGGER transfers_reversals_mirror ON transfers;
DROP TRIGGER transfers_append_only ON transfers;
DROP TRIGGER transfers_never_emptied ON transfers;
DROP TRIGGER IF EXISTS audit_log_append_only ON audit_log;
DROP TRIGGER IF EXISTS audit_log_never_emptied ON audit_log;
DROP FUNCTION check_reversal;
DROP FUNCTION refuse_change;
