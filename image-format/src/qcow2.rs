//! Reads qcow2 headers, so that nothing else has to touch an image before we know what it refers to.
//!
//! [`Header::parse`] takes bytes and allocates nothing that a header asks for: no length in it is believed. It is
//! stricter than QEMU; what it does not understand, it refuses. [`Header::check_stands_alone`] then says whether an
//! image needs nothing but itself, [`Header::check_tables`] whether its tables lie inside its file.
//!
//! Layout: QEMU's docs/interop/qcow2.txt. All integers are big-endian.

#[cfg(test)]
mod tests;

/// How many bytes of a file the header, its extensions and the backing file's name are looked for in.
pub const HEADER_WINDOW_BYTES: usize = 64 * 1024;
/// The largest virtual disk we accept: 64 TiB.
pub const MAX_VIRTUAL_SIZE_BYTES: u64 = 64 << 40;

const MAGIC: &[u8; 4] = b"QFI\xfb";
const V2_HEADER_BYTES: usize = 72;
const V3_HEADER_BYTES: usize = 104;
const MAX_HEADER_BYTES: usize = 4096;
/// QEMU's own bounds for the two top-level tables; beyond them an image is a memory bomb.
const MAX_L1_TABLE_BYTES: u64 = 32 << 20;
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Refcounts have at most 64 bits.
const MAX_REFCOUNT_ORDER: u32 = 6;
/// A chain of extensions longer than this is a joke at our expense.
const MAX_EXTENSIONS: usize = 64;
const MAX_BACKING_NAME_BYTES: usize = 1023;

const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_EXTERNAL_DATA: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
const INCOMPATIBLE_KNOWN: u64 = (1 << 5) - 1;

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_LUKS: u32 = 0x0537_be77;
const EXTENSION_EXTERNAL_DATA: u32 = 0x4441_5441;

/// What a qcow2 header says, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Size of the disk a guest sees.
    pub virtual_size_bytes: u64,
    /// Name of the image underneath, if any.
    pub backing_file: Option<String>,
    /// Declared format of the image underneath.
    pub backing_format: Option<String>,
    /// Content lies in another file.
    pub external_data: bool,
    /// Content is encrypted.
    pub encrypted: bool,
    /// Internal snapshots.
    pub snapshots: u32,
    incompatible: u64,
    cluster_bytes: u64,
    l1_entries: u32,
    l1_offset: u64,
    refcount_table_offset: u64,
    refcount_table_clusters: u32,
}

/// Why a header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a qcow2 file at all.
    #[error("no qcow2 header")]
    NotQcow2,
    /// The file ends inside its header.
    #[error("the header is cut short in {0}")]
    Truncated(&'static str),
    /// A field has a value we do not accept.
    #[error("{0}")]
    Refused(String),
}

fn refused<T>(why: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::Refused(why.into()))
}

/// Bounds-checked big-endian reads.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&self, offset: usize, length: usize, what: &'static str) -> Result<&'a [u8], HeaderError> {
        let end = offset.checked_add(length).ok_or(HeaderError::Truncated(what))?;
        self.0.get(offset..end).ok_or(HeaderError::Truncated(what))
    }

    fn u32(&self, offset: usize, what: &'static str) -> Result<u32, HeaderError> {
        let bytes = self.bytes(offset, 4, what)?;
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte)))
    }

    fn u64(&self, offset: usize, what: &'static str) -> Result<u64, HeaderError> {
        Ok((u64::from(self.u32(offset, what)?) << 32) | u64::from(self.u32(offset + 4, what)?))
    }
}

impl Header {
    /// Parses the beginning of a file: at most [`HEADER_WINDOW_BYTES`] of it are needed.
    pub fn parse(window: &[u8]) -> Result<Self, HeaderError> {
        let fields = Fields(window);
        if !window.starts_with(MAGIC) {
            return Err(HeaderError::NotQcow2);
        }
        let version = fields.u32(4, "version")?;
        if version != 2 && version != 3 {
            return refused(format!("qcow2 version {version}"));
        }
        let cluster_bits = fields.u32(20, "cluster bits")?;
        if !(9..=21).contains(&cluster_bits) {
            return refused(format!("clusters of 2^{cluster_bits} bytes"));
        }
        let (incompatible, header_bytes) = match version {
            2 => (0, V2_HEADER_BYTES),
            _ => {
                let order = fields.u32(96, "refcount order")?;
                if order > MAX_REFCOUNT_ORDER {
                    return refused(format!("refcounts of 2^{order} bits"));
                }
                let length = fields.u32(100, "header length")? as usize;
                if !(V3_HEADER_BYTES..=MAX_HEADER_BYTES).contains(&length) || !length.is_multiple_of(8) {
                    return refused(format!("a header of {length} bytes"));
                }
                (fields.u64(72, "incompatible features")?, length)
            }
        };
        fields.bytes(0, header_bytes, "header")?;
        if incompatible & !INCOMPATIBLE_KNOWN != 0 {
            return refused(format!("unknown incompatible features {incompatible:#x}"));
        }
        if incompatible & INCOMPATIBLE_COMPRESSION != 0
            && (header_bytes <= V3_HEADER_BYTES || fields.bytes(V3_HEADER_BYTES, 1, "compression")?[0] > 1)
        {
            return refused("an unknown compression");
        }
        let extensions = Extensions::walk(&fields, header_bytes)?;
        Ok(Self {
            version,
            virtual_size_bytes: fields.u64(24, "virtual size")?,
            backing_file: backing_name(&fields)?,
            backing_format: extensions.backing_format,
            external_data: extensions.external_data || incompatible & INCOMPATIBLE_EXTERNAL_DATA != 0,
            encrypted: extensions.luks || fields.u32(32, "encryption")? != 0,
            snapshots: fields.u32(60, "snapshots")?,
            incompatible,
            cluster_bytes: 1 << cluster_bits,
            l1_entries: fields.u32(36, "L1 size")?,
            l1_offset: fields.u64(40, "L1 offset")?,
            refcount_table_offset: fields.u64(48, "refcount table")?,
            refcount_table_clusters: fields.u32(56, "refcount table size")?,
        })
    }

    /// Whether an image with this header is all there is of its disk, and of a size and state we accept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_stands_alone(&self) -> Result<(), HeaderError> {
        if self.backing_file.is_some() || self.backing_format.is_some() {
            return refused("it refers to a backing file");
        }
        if self.external_data {
            return refused("its content lies in an external data file");
        }
        if self.encrypted {
            return refused("it is encrypted");
        }
        if self.snapshots != 0 {
            return refused("it has internal snapshots");
        }
        if self.incompatible & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT) != 0 {
            return refused("it is marked dirty or corrupt");
        }
        if self.virtual_size_bytes > MAX_VIRTUAL_SIZE_BYTES {
            return refused(format!("a virtual size of {} bytes", self.virtual_size_bytes));
        }
        if self.virtual_size_bytes == 0 || !self.virtual_size_bytes.is_multiple_of(512) {
            return refused(format!(
                "a virtual size of {} bytes, not of whole sectors",
                self.virtual_size_bytes
            ));
        }
        Ok(())
    }

    /// Whether the two top-level tables fit the virtual size and lie inside a file of `file_bytes`.
    ///
    /// # Errors
    /// Which does not.
    pub fn check_tables(&self, file_bytes: u64) -> Result<(), HeaderError> {
        let l2_entry_bytes = if self.has_extended_l2() { 16 } else { 8 };
        let bytes_per_l1_entry = self.cluster_bytes * (self.cluster_bytes / l2_entry_bytes);
        let l1_bytes = u64::from(self.l1_entries) * 8;
        if u64::from(self.l1_entries) < self.virtual_size_bytes.div_ceil(bytes_per_l1_entry) {
            return refused("its L1 table is too small for its virtual size");
        }
        if l1_bytes > MAX_L1_TABLE_BYTES {
            return refused("its L1 table is too large");
        }
        let refcount_bytes = u64::from(self.refcount_table_clusters) * self.cluster_bytes;
        if refcount_bytes == 0 || refcount_bytes > MAX_REFCOUNT_TABLE_BYTES {
            return refused("its refcount table is empty or too large");
        }
        for (what, offset, bytes) in [
            ("L1 table", self.l1_offset, l1_bytes),
            ("refcount table", self.refcount_table_offset, refcount_bytes),
        ] {
            let inside = offset.checked_add(bytes).is_some_and(|end| end <= file_bytes);
            // An image without content may have an empty L1 table, at any offset.
            if bytes > 0 && (!inside || offset == 0 || !offset.is_multiple_of(self.cluster_bytes)) {
                return refused(format!("its {what} lies outside the file"));
            }
        }
        Ok(())
    }

    pub(crate) fn cluster_bytes(&self) -> u64 {
        self.cluster_bytes
    }

    pub(crate) fn has_extended_l2(&self) -> bool {
        self.incompatible & INCOMPATIBLE_EXTENDED_L2 != 0
    }

    /// Offset and bytes.
    pub(crate) fn l1_table(&self) -> (u64, u64) {
        (self.l1_offset, u64::from(self.l1_entries) * 8)
    }

    /// Offset and bytes.
    pub(crate) fn refcount_table(&self) -> (u64, u64) {
        (self.refcount_table_offset, u64::from(self.refcount_table_clusters) * self.cluster_bytes)
    }

    /// How many low bits of a compressed cluster's entry are its offset.
    pub(crate) fn compressed_offset_bits(&self) -> u32 {
        62 - (self.cluster_bytes.trailing_zeros() - 8)
    }
}

fn backing_name(fields: &Fields<'_>) -> Result<Option<String>, HeaderError> {
    let offset = fields.u64(8, "backing file")?;
    let length = fields.u32(16, "backing file")? as usize;
    if offset == 0 {
        return Ok(None);
    }
    if length > MAX_BACKING_NAME_BYTES {
        return refused("the backing file's name is too long");
    }
    let offset = usize::try_from(offset).map_err(|_| HeaderError::Truncated("backing file's name"))?;
    let name = fields.bytes(offset, length, "backing file's name")?;
    Ok(Some(String::from_utf8_lossy(name).into_owned()))
}

#[derive(Default)]
struct Extensions {
    backing_format: Option<String>,
    external_data: bool,
    luks: bool,
}

impl Extensions {
    fn walk(fields: &Fields<'_>, mut offset: usize) -> Result<Self, HeaderError> {
        let mut found = Self::default();
        for _ in 0..MAX_EXTENSIONS {
            let kind = fields.u32(offset, "header extensions")?;
            let length = fields.u32(offset + 4, "header extensions")? as usize;
            let data = fields.bytes(offset + 8, length, "header extensions")?;
            match kind {
                EXTENSION_END => return Ok(found),
                EXTENSION_BACKING_FORMAT => {
                    found.backing_format = Some(String::from_utf8_lossy(data).into_owned());
                }
                EXTENSION_EXTERNAL_DATA => found.external_data = true,
                EXTENSION_LUKS => found.luks = true,
                _ => {}
            }
            offset += 8 + length.next_multiple_of(8);
        }
        refused("too many header extensions")
    }
}
