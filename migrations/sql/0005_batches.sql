-- What links and accounts' webhooks are signed with: of this market alone, 244 random bits, the same for every process.
INSERT INTO kept_secrets (name, value)
VALUES ('links', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));
