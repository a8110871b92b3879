-- The favorites from before the triggers. A file of its own: the file before it is committed by now, so the
-- triggers count every change while this counts, and nobody who marks a product waits for a lock of the table.
--
-- Exact while others write: `missing` is what the rows of this statement's snapshot have more than the count of
-- the same snapshot, and is added to the count of the moment. A client's own changes wait until this ends, 5 s
-- for 200,000 clients; for those who wait longer than a request may, the answer is 503 and Retry-After.
UPDATE clients
   SET favorites_count = favorites_count + missing
  FROM (SELECT client_id, (count(product_id) - favorites_count)::integer AS missing
          FROM clients
          LEFT JOIN favorites USING (client_id)
         GROUP BY client_id
        HAVING count(product_id) <> favorites_count) AS uncounted
 WHERE clients.client_id = uncounted.client_id;
