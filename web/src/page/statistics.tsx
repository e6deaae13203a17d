/** The statistics of the connection. */
import { useEffect } from "react";
import { useActions, useShown } from "./context.js";
import type { TrackFigures } from "./figures.js";
import { bitrateInWords, numberInWords, shareInWords, timeInWords, UNKNOWN } from "./units.js";
import { connectionInWords, DEVICES } from "./words.js";

/** The figures of the connection and of each track, read again while this is shown. */
export function Statistics() {
  const actions = useActions();
  const connection = useShown((state) => state.connection);
  const transport = useShown((state) => state.transport);
  const figures = useShown((state) => state.figures);
  useEffect(() => actions.watchStatistics(), [actions]);
  return (
    <>
      <dl className="figures">
        <dt>Server</dt>
        <dd>{connectionInWords(connection)}</dd>
        <dt>Media</dt>
        <dd>{transport ?? UNKNOWN}</dd>
        <dt>Round trip</dt>
        <dd>{timeInWords(figures?.roundTripMs ?? null)}</dd>
        <dt>Receiving</dt>
        <dd>{bitrateInWords(figures?.receivedBitrate ?? null)}</dd>
        <dt>Sending</dt>
        <dd>{bitrateInWords(figures?.sentBitrate ?? null)}</dd>
      </dl>
      <TrackTable caption="Received" tracks={figures?.received ?? []} />
      <TrackTable caption="Sent" tracks={figures?.sent ?? []} />
    </>
  );
}

function TrackTable({ caption, tracks }: { caption: string; tracks: readonly TrackFigures[] }) {
  const people = useShown((state) => state.people);
  if (tracks.length === 0) return null;
  return (
    <table className="track-figures">
      <caption>{caption}</caption>
      <thead>
        <tr>
          <th scope="col">Track</th>
          <th scope="col">Rate</th>
          <th scope="col">Loss</th>
          <th scope="col">Picture</th>
        </tr>
      </thead>
      <tbody>
        {tracks.map(({ key, peerId, source, codec, bitrate, loss, size, framesPerSecond, kind }) => (
          <tr key={key}>
            <th scope="row">
              <bdi>{peerId === null ? "Your" : (people.get(peerId)?.peer.name ?? UNKNOWN)}</bdi>
              <span className="detail">
                {DEVICES[source]}
                {codec !== null && `, ${codec}`}
              </span>
            </th>
            <td>{bitrateInWords(bitrate)}</td>
            <td>{shareInWords(loss)}</td>
            <td>
              {kind === "video" && (
                <>
                  {size === null ? UNKNOWN : `${size.width}×${size.height}`}
                  <span className="detail">{numberInWords(framesPerSecond)} frames/s</span>
                </>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
