//! Compiles the `.proto` files with protox, so that no protoc is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "agent/v1/agent.proto",
        "blob/v1/blob.proto",
        "console/v1/console.proto",
        "enrol/v1/enrol.proto",
        "raft/v1/raft.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure()
        .bytes(".rempart.raft.v1.Payload")
        .bytes(".rempart.blob.v1.Piece")
        .bytes(".rempart.blob.v1.DepositPiece")
        .bytes(".rempart.console.v1.Frame")
        .compile_fds(descriptors)?;
    Ok(())
}
