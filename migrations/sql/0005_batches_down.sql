DELETE FROM kept_secrets WHERE name = 'links';
