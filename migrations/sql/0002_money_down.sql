-- Rows that the older schema has no words for stop this on purpose: money is not forgotten silently.
ALTER TABLE transfers
    DROP CONSTRAINT ck_transfers_kind,
    DROP CONSTRAINT ck_transfers_charges_capture_holds,
    DROP CONSTRAINT ck_transfers_deposits_have_references,
    ADD CONSTRAINT ck_transfers_kind CHECK (kind IN ('deposit', 'charge', 'fee')),
    ADD CONSTRAINT ck_transfers_charges_capture_holds
        CHECK ((kind IN ('charge', 'fee')) = (hold_id IS NOT NULL)),
    ADD CONSTRAINT ck_transfers_deposits_have_references CHECK (kind <> 'deposit' OR reference IS NOT NULL);
DELETE FROM ledger_accounts WHERE kind IN ('withheld', 'credits');
ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_kind, ADD CONSTRAINT ck_ledger_accounts_kind
    CHECK (kind IN ('wallet', 'earnings', 'fees', 'world'));
