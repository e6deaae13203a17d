/** The whole page: the lobby or the call. */
import { useEffect } from "react";
import { Call } from "./call.js";
import { useShown } from "./context.js";
import { Lobby } from "./lobby.js";
import { Announcer, NoticeBar } from "./notice.js";
import { isInCall } from "./state.js";

/** Everything that is on the page. */
export function App() {
  const inCall = useShown(isInCall);
  const roomId = useShown((state) => state.roomId);
  useEffect(() => {
    document.title = inCall ? `${roomId} – trio-sfu` : "trio-sfu";
  }, [inCall, roomId]);
  return (
    <>
      <NoticeBar />
      {inCall ? <Call /> : <Lobby />}
      <Announcer />
    </>
  );
}
