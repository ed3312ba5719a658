use super::*;
use crate::desired::{Digest, ImageFormat};
use crate::disk::fetch::ImageSource;
use crate::disk::local::Local;
use crate::stop::Stopper;

const VOLUME: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const MIB: u64 = 1 << 20;

fn seed(hostname: &str) -> Seed {
    Seed {
        instance_id: "i".into(),
        hostname: hostname.into(),
        user_data: String::new(),
        ssh_keys: Vec::new(),
    }
}

fn blob() -> Blob {
    let sha256 = Digest::parse(&"ab".repeat(32)).unwrap();
    Blob { sha256, format: ImageFormat::Raw, size_bytes: MIB, virtual_size_bytes: MIB }
}

/// What every sort of disks does alike.
fn contract(disks: &dyn Disks) {
    assert_eq!(disks.volume(VOLUME).unwrap(), None);
    disks.create_volume(VOLUME, MIB, None).unwrap();
    let file = VolumeFile { virtual_size_bytes: MIB, base: None };
    assert_eq!(disks.volume(VOLUME).unwrap(), Some(file.clone()));
    let again = disks.create_volume(VOLUME, 2 * MIB, None).unwrap_err();
    assert!(matches!(again, DiskError::VolumeExists(_)), "{again:?}");
    assert_eq!(disks.volume(VOLUME).unwrap(), Some(file), "nothing is overwritten");
    disks.grow_volume(VOLUME, 2 * MIB).unwrap();
    assert_eq!(disks.volume(VOLUME).unwrap().unwrap().virtual_size_bytes, 2 * MIB);
    assert!(disks.grow_volume(OTHER, MIB).is_err(), "there is none");

    assert_eq!(disks.image(&blob()), ImageState::Missing);
    assert!(disks.verify_image(&blob()).is_err());
    assert!(disks.create_volume(OTHER, MIB, Some(&blob())).is_err(), "its image is not here");
    assert_eq!(disks.volume(OTHER).unwrap(), None);

    assert_eq!(disks.captures().unwrap(), BTreeMap::new());
    assert!(disks.make_capture(OTHER, VOLUME).is_err(), "there is no such volume");
    disks.make_capture(VOLUME, OTHER).unwrap();
    assert_eq!(disks.captures().unwrap(), [(VOLUME, [OTHER].into())].into());
    for _ in 0..2 {
        disks.drop_capture(VOLUME, OTHER).unwrap();
    }
    assert_eq!(disks.captures().unwrap(), BTreeMap::new());

    assert_eq!(disks.seed(VOLUME), None);
    for name in ["a", "b", "b"] {
        disks.write_seed(VOLUME, &seed(name)).unwrap();
        assert_eq!(disks.seed(VOLUME), Some(super::seed::fingerprint(&seed(name))));
    }
    assert!(!disks.has_run_dir(VOLUME));
    for _ in 0..2 {
        disks.create_run_dir(VOLUME).unwrap();
        assert!(disks.has_run_dir(VOLUME));
    }
    for _ in 0..2 {
        disks.remove_seed(VOLUME).unwrap();
        disks.remove_run_dir(VOLUME).unwrap();
        disks.delete_volume(VOLUME).unwrap();
    }
    assert_eq!((disks.seed(VOLUME), disks.has_run_dir(VOLUME)), (None, false));
    assert_eq!(disks.volume(VOLUME).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_and_simulated_disks_keep_one_contract() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::new(temp.path().join("data"));
    let _lock = data.prepare().unwrap();
    let images = ImageStore::new(data.images_dir(), data.image_records_dir());
    let simulated = SimulatedDisks::new(data.clone(), images.clone());
    contract(&simulated);
    assert_eq!(simulated.content(), Content { volumes: 0, seeds: 0, run_dirs: 0 });
    // On an image, they say the same of a volume.
    simulated.fetch_image(&blob()).unwrap();
    simulated.create_volume(OTHER, MIB, Some(&blob())).unwrap();
    let base = Some((images.file(&blob()), "raw".to_owned()));
    assert_eq!(simulated.volume(OTHER).unwrap().unwrap().base, base);

    let (_stopper, stop) = Stopper::new();
    let source = ImageSource::new(crate::identity::tests::controllers(Vec::new()), stop);
    let local = Local { data, images, source };
    tokio::task::spawn_blocking(move || contract(&local)).await.unwrap();
}
