-- What the rows of State add up to, so that a replica notices when they are not those that it wrote.
ALTER TABLE replica ADD COLUMN digest text COLLATE "C";
COMMENT ON COLUMN replica.digest IS 'Digest of all of State (core, and the bodies of resource) at applied_index, 32 hexadecimal digits: controller/src/replica/digest.rs. NULL: written before there were digests.';
