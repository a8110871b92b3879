-- An e-mail is compared in lower case and NFC (shared/formats/emails.py), no longer case-folded: groß@ and
-- gross@ are two accounts. That changes the keys of addresses that are not ASCII, and of no others. Their
-- domains are in their normal form already. A row whose new key somebody else has keeps the old one.
UPDATE clients
   SET email_key = wanted.email_key
  FROM (SELECT client_id,
               normalize(lower(normalize(email, NFC) COLLATE pg_catalog.pg_c_utf8), NFC) COLLATE "default"
                   AS email_key
          FROM clients
         WHERE email ~ '[^\x01-\x7f]') AS wanted
 WHERE clients.client_id = wanted.client_id
   AND clients.email_key <> wanted.email_key
   AND NOT EXISTS (SELECT FROM clients AS other WHERE other.email_key = wanted.email_key);
