use super::*;
use futures_util::stream;
use tokio_stream::wrappers::ReceiverStream;

/// Two ends that talk to each other.
fn pair() -> [(Sender, Receiver); 2] {
    let (to_right, at_right) = mpsc::channel(FRAMES_WAITING);
    let (to_left, at_left) = mpsc::channel(FRAMES_WAITING);
    let (left_sender, left_receiver, left) = end(to_right, ReceiverStream::new(at_left).map(Ok));
    let (right_sender, right_receiver, right) = end(to_left, ReceiverStream::new(at_right).map(Ok));
    tokio::spawn(left);
    tokio::spawn(right);
    [(left_sender, left_receiver), (right_sender, right_receiver)]
}

#[tokio::test]
async fn all_arrives_in_order_and_both_ways_at_once() {
    let [(left, left_in), (right, right_in)] = pair();
    let text: Vec<u8> = (0..=250u8).cycle().take(1_000_000).collect();
    let send = |to: Sender, text: Vec<u8>| async move { assert!(to.send(text.into()).await) };
    let expected = text.len();
    let receive = |from: &'static str, mut received: Receiver| async move {
        let mut all = Vec::new();
        while all.len() < expected {
            all.extend_from_slice(&received.next().await.expect(from));
        }
        all
    };
    tokio::spawn(send(left, text.clone()));
    tokio::spawn(send(right, text.clone()));
    let (one, two) = tokio::join!(receive("left", left_in), receive("right", right_in));
    assert!(one == text && two == text);
}

#[tokio::test]
async fn who_is_not_read_stops_at_the_window_and_does_not_stop_the_other_way() {
    let [(left, left_in), (right, mut right_in)] = pair();
    // Nobody reads at the right for now: the left gets rid of no more than the window.
    let flood = tokio::spawn(async move { left.send(vec![1; 10 * WINDOW_BYTES].into()).await });
    // One thread: whoever can go on does.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!flood.is_finished());
    let mut left_in = left_in;
    assert!(right.send(Bytes::from_static(b"hello")).await);
    assert_eq!(left_in.next().await.as_deref(), Some(&b"hello"[..]));
    // What has come is the window, and not a byte more.
    let waiting: usize = std::iter::from_fn(|| right_in.data.try_recv().ok()).map(|bytes| cost(&bytes)).sum();
    assert!(waiting <= WINDOW_BYTES && waiting > WINDOW_BYTES - CHUNK_BYTES - FRAME_COST_BYTES, "{waiting}");
}

#[tokio::test]
async fn who_takes_more_than_granted_is_hung_up_on() {
    let data = |bytes: usize| Ok(Frame { frame: Some(Kind::Data(vec![0; bytes].into())) });
    let credit = |more| Ok(Frame { frame: Some(Kind::Credit(more)) });
    let check = async |frames: Vec<Result<Frame, Status>>| {
        let (to, _kept) = mpsc::channel(FRAMES_WAITING);
        let (_sender, _receiver, heard) = end(to, stream::iter(frames));
        heard.await.0.map(|why| why.reason())
    };
    assert_eq!(check(vec![data(1000)]).await, None, "the stream just ends");
    assert_eq!(check(vec![data(WINDOW_BYTES)]).await, Some(Reason::Failed));
    assert_eq!(check(vec![credit(1)]).await, Some(Reason::Failed));
    assert_eq!(check(vec![credit(u32::MAX)]).await, Some(Reason::Failed));
    // Empty frames cost as well.
    let empty = |count| (0..count).map(|_| data(0)).collect();
    assert_eq!(check(empty(WINDOW_BYTES / FRAME_COST_BYTES)).await, None);
    assert_eq!(check(empty(WINDOW_BYTES / FRAME_COST_BYTES + 1)).await, Some(Reason::Failed));
}
