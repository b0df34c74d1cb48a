-- What the generated steps cannot know: changed checks, the rows that every market is born with, old rows' new columns.
ALTER TABLE accounts ADD CONSTRAINT ck_accounts_type CHECK (type IN ('person', 'organisation'));
ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_kind, ADD CONSTRAINT ck_ledger_accounts_kind
    CHECK (kind IN ('wallet', 'earnings', 'withheld', 'fees', 'credits', 'world'));
ALTER TABLE holds ADD CONSTRAINT ck_holds_tier CHECK (tier IN ('small', 'medium', 'large', 'enterprise'));
ALTER TABLE transfers
    DROP CONSTRAINT ck_transfers_kind,
    DROP CONSTRAINT ck_transfers_charges_capture_holds,
    DROP CONSTRAINT ck_transfers_deposits_have_references,
    ADD CONSTRAINT ck_transfers_kind CHECK (kind IN ('deposit', 'funding', 'charge', 'fee', 'withhold', 'restore',
        'sla_credit', 'refund', 'payout', 'reversal')),
    ADD CONSTRAINT ck_transfers_charges_capture_holds CHECK (
        CASE WHEN kind IN ('charge', 'fee') THEN (hold_id IS NULL) <> (original_id IS NULL)
             WHEN kind = 'payout' THEN hold_id IS NOT NULL AND original_id IS NULL
             ELSE hold_id IS NULL AND (kind = 'reversal') = (original_id IS NOT NULL) END),
    ADD CONSTRAINT ck_transfers_deposits_have_references
        CHECK (kind NOT IN ('deposit', 'payout') OR reference IS NOT NULL);

INSERT INTO ledger_accounts (id, kind) VALUES ('00000000-0000-7000-8000-000000000003', 'credits');
INSERT INTO ledger_accounts (id, owner_id, kind) SELECT gen_random_uuid(), id, 'withheld' FROM accounts;
INSERT INTO wallet_baselines (account_id, baseline_nano, since)
    SELECT owner_id, posted_nano - reserved_nano, now() FROM ledger_accounts WHERE kind = 'wallet';

INSERT INTO fees (tier, version, fee_ppm, valid_from, created_at) VALUES
    ('small', 1, 50000, 'epoch', now()), ('medium', 1, 40000, 'epoch', now()),
    ('large', 1, 30000, 'epoch', now()), ('enterprise', 1, 20000, 'epoch', now());
UPDATE orders SET fee_ppm = fees.fee_ppm FROM fees WHERE fees.tier = orders.tier;
ALTER TABLE orders ALTER COLUMN fee_ppm SET NOT NULL;

-- The tiers' monthly caps: budgets that every account has.
INSERT INTO budgets (id, period, tier, limit_nano, mode, timezone, created_at) VALUES
    ('00000000-0000-7000-8000-000000000011', 'month', 'small', 100 * 1000000000::bigint, 'hard', 'UTC', now()),
    ('00000000-0000-7000-8000-000000000012', 'month', 'medium', 2000 * 1000000000::bigint, 'hard', 'UTC', now()),
    ('00000000-0000-7000-8000-000000000013', 'month', 'large', 50000 * 1000000000::bigint, 'hard', 'UTC', now()),
    ('00000000-0000-7000-8000-000000000014', 'month', 'enterprise', 1000000 * 1000000000::bigint, 'hard', 'UTC', now());
UPDATE holds SET tier = orders.tier FROM orders WHERE orders.hold_id = holds.id;
UPDATE holds SET tier = orders.tier FROM windows
    JOIN leases ON leases.id = windows.lease_id JOIN orders ON orders.id = leases.order_id
    WHERE windows.hold_id = holds.id;
INSERT INTO budget_uses (budget_id, account_id, since, used_nano)
    SELECT b.id, a.owner_id, date_trunc('month', now(), 'UTC'), sum(h.amount_nano - h.released_nano)
    FROM holds h JOIN ledger_accounts a ON a.id = h.account_id JOIN budgets b ON b.tier = h.tier
    WHERE h.created_at >= date_trunc('month', now(), 'UTC') GROUP BY 1, 2;
