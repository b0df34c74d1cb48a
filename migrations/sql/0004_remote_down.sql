DELETE FROM trust_events WHERE kind = 'overstated';
ALTER TABLE trust_events DROP CONSTRAINT ck_trust_events_kind;
ALTER TABLE trust_events ADD CONSTRAINT ck_trust_events_kind CHECK (kind IN (
    'served', 'failed', 'lapsed', 'lost', 'canary_passed', 'canary_failed', 'update_rejected'
));
