use super::*;
use crate::desired::{Digest, ImageFormat};
use crate::disk::image::ImageStore;
use crate::layout::DataDir;
use crate::plan::tests::{VOLUME, blob, stamp, volume};
use std::sync::Arc;

const GRACE: Duration = Duration::from_secs(100);

fn host(root: &std::path::Path) -> Host {
    let data = DataDir::new(root);
    std::fs::create_dir_all(data.images_dir()).unwrap();
    std::fs::create_dir_all(data.volumes_dir()).unwrap();
    let images = ImageStore::new(data.images_dir(), data.image_records_dir());
    Host { boot_id: "boot-1".into(), data, images }
}

#[test]
fn what_is_used_by_ledger_or_by_any_file_stays() {
    let temp = tempfile::tempdir().unwrap();
    let host = host(temp.path());
    let image =
        |digits: &str| crate::desired::Blob { sha256: Digest::parse(&digits.repeat(32)).unwrap(), ..blob() };
    for digits in ["ab", "cd", "ef"] {
        std::fs::write(host.images.file(&image(digits)), [0; 512]).unwrap();
    }
    std::fs::write(host.data.images_dir().join("notes.txt"), "not an image").unwrap();
    let mut ledger = Snapshot::default();
    let record = crate::ledger::VolumeRecord { stamp: stamp(), listed: false, volume: volume() };
    ledger.volumes.insert(VOLUME, Arc::new(record));
    // A file the ledger has never heard of.
    let base = host.images.file(&image("cd"));
    let file = host.data.volume_file(uuid::Uuid::from_u128(99));
    crate::disk::volume::create(&file, 1 << 20, Some((&base, ImageFormat::Raw))).unwrap();

    let (mut cache, now) = (Cache::new(GRACE), Instant::now());
    let look = Look::at(&host, &ledger).unwrap();
    assert_eq!(cache.unneeded(&look, now), Vec::<PathBuf>::new(), "not before its grace is over");
    assert_eq!(cache.unneeded(&look, now + GRACE), [host.images.file(&image("ef"))]);

    // Needed again in between: the grace starts anew.
    let busy = Look { cached: look.cached.clone(), used: look.cached.clone() };
    cache.unneeded(&busy, now + GRACE);
    assert!(cache.unneeded(&look, now + GRACE).is_empty());

    std::fs::write(&file, "damaged").unwrap();
    assert!(Look::at(&host, &ledger).is_err(), "what a damaged file stands on is not known");
}
