-- What a client wants to be told of a favorite. `threshold` is the price at or below which the alert fires, null
-- for one that waits for the product to be available again. `since_version` is the version that the product had
-- when the alert was set: older changes do not concern it. Of an alert that was taken away, `kind` is null and
-- `fired_at` stays, so that setting it again does not fire it twice in 24 hours.
CREATE TABLE favorite_alerts (
    client_id     uuid NOT NULL,
    product_id    text COLLATE "C" NOT NULL,
    kind          text CHECK (kind IN ('price_at_or_below', 'percent_off', 'available_again')),
    value         numeric,
    threshold     numeric,
    currency      text,
    since_version bigint,
    fired_at      timestamptz,
    PRIMARY KEY (client_id, product_id),
    FOREIGN KEY (client_id, product_id) REFERENCES favorites ON DELETE CASCADE
);

CREATE INDEX favorite_alerts_of_a_product ON favorite_alerts (product_id, threshold, client_id)
 WHERE kind IS NOT NULL;

-- Changes of products whose alerts are to be sent: one row a change, whatever the number of alerts. The last
-- alert that was sent is at `after_threshold` and `after_client`.
CREATE TABLE alert_jobs (
    job_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id      text COLLATE "C" NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('price', 'available_again')),
    old_price       numeric NOT NULL,
    new_price       numeric NOT NULL,
    currency        text,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    pages           integer NOT NULL DEFAULT 0, -- that were sent; a job with fewer goes first
    after_threshold numeric,
    after_client    uuid
);

CREATE INDEX alert_jobs_in_turn ON alert_jobs (pages, job_id);
CREATE INDEX alert_jobs_of_a_product ON alert_jobs (product_id, job_id);
