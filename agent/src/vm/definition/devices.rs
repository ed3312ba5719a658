//! The `<devices>` half of libvirt's domain document: data only, like [`super::domain`].

use super::domain::Empty;
use super::pci::PciAddress;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Devices<'a> {
    pub(super) controller: Vec<Controller>,
    pub(super) disk: Vec<Disk<'a>>,
    pub(super) serial: Serial,
    pub(super) input: Vec<Input>,
    pub(super) graphics: Graphics,
    pub(super) audio: Audio,
    pub(super) video: Video,
    pub(super) rng: Rng,
    pub(super) memballoon: Balloon,
}

#[derive(Debug, Serialize)]
pub(super) struct Controller {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@index", skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<u32>,
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    #[serde(rename = "model", skip_serializing_if = "Option::is_none")]
    pub(super) hardware: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<PortTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<PciAddress>,
}

#[derive(Debug, Serialize)]
pub(super) struct Named {
    #[serde(rename = "@name")]
    pub(super) name: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct PortTarget {
    #[serde(rename = "@chassis")]
    pub(super) chassis: u32,
    #[serde(rename = "@port")]
    pub(super) port: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Disk<'a> {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@device")]
    pub(super) device: &'static str,
    pub(super) driver: DiskDriver,
    pub(super) source: File<'a>,
    pub(super) target: DiskTarget,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) readonly: Option<Empty>,
    pub(super) serial: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<Boot>,
    pub(super) address: PciAddress,
}

#[derive(Debug, Serialize)]
pub(super) struct DiskDriver {
    #[serde(rename = "@name")]
    pub(super) name: &'static str,
    #[serde(rename = "@type")]
    pub(super) format: &'static str,
    #[serde(rename = "@cache")]
    pub(super) cache: &'static str,
    #[serde(rename = "@discard", skip_serializing_if = "Option::is_none")]
    pub(super) discard: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    #[serde(rename = "@file")]
    pub(super) path: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct DiskTarget {
    #[serde(rename = "@dev")]
    pub(super) name: String,
    #[serde(rename = "@bus")]
    pub(super) bus: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Boot {
    #[serde(rename = "@order")]
    pub(super) order: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Serial {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    pub(super) source: SocketSource,
    pub(super) log: Log,
    pub(super) target: SerialTarget,
}

#[derive(Debug, Serialize)]
pub(super) struct SocketSource {
    #[serde(rename = "@mode")]
    pub(super) mode: &'static str,
    #[serde(rename = "@path")]
    pub(super) path: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Log {
    #[serde(rename = "@file")]
    pub(super) path: String,
    #[serde(rename = "@append")]
    pub(super) append: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct SerialTarget {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@port")]
    pub(super) port: u32,
    pub(super) model: Named,
}

#[derive(Debug, Serialize)]
pub(super) struct Input {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@bus")]
    pub(super) bus: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Graphics {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    pub(super) listen: Listen,
}

#[derive(Debug, Serialize)]
pub(super) struct Listen {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Audio {
    #[serde(rename = "@id")]
    pub(super) id: u32,
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Video {
    pub(super) model: VideoModel,
    pub(super) address: PciAddress,
}

#[derive(Debug, Serialize)]
pub(super) struct VideoModel {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "@vram")]
    pub(super) video_memory_kib: u32,
    #[serde(rename = "@heads")]
    pub(super) heads: u32,
    #[serde(rename = "@primary")]
    pub(super) primary: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Rng {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    pub(super) backend: RngBackend,
    pub(super) address: PciAddress,
}

#[derive(Debug, Serialize)]
pub(super) struct RngBackend {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    #[serde(rename = "$text")]
    pub(super) path: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Balloon {
    #[serde(rename = "@model")]
    pub(super) model: &'static str,
    pub(super) address: PciAddress,
}
