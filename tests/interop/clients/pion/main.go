// A participant made of Pion, in the protocol of interop.caller.
//
// Pion packs and unpacks RTP but neither encodes nor decodes: this program sends the clip's frames and Opus silence,
// and counts what arrives, a packet with the marker bit as a frame.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc"
	"github.com/pion/webrtc/pkg/media"
)

const (
	reportInterval = 100 * time.Millisecond
	goodbye        = 3 * time.Second
	audioInterval  = 20 * time.Millisecond
	videoInterval  = 40 * time.Millisecond
	maxLine        = 1 << 20
	ivfHeader      = 32
	ivfFrameHeader = 12
)

var opusSilence = []byte{0xf8, 0xff, 0xfe}

type object map[string]interface{}

type message struct {
	Type string `json:"type"`
	Data struct {
		SDP   string `json:"sdp"`
		First string `json:"first"`
	} `json:"data"`
}

type participant struct {
	pc           *webrtc.PeerConnection
	output       sync.Mutex
	audio, video int64 // frames received
	restart      int32 // somebody has lost the picture: the clip begins again
	closed       chan struct{}
	closing      sync.Once
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (p *participant) say(kind string, data object) {
	line, err := json.Marshal(object{"type": kind, "data": data})
	must(err)
	p.output.Lock()
	defer p.output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func (p *participant) report() {
	p.say("report", object{
		"connection": p.pc.ConnectionState().String(),
		"received":   object{"audio": atomic.LoadInt64(&p.audio), "video": atomic.LoadInt64(&p.video)},
	})
}

func clipFrames(path string) (frames [][]byte) {
	file, err := os.ReadFile(path)
	must(err)
	for at := ivfHeader; at < len(file); {
		size := int(binary.LittleEndian.Uint32(file[at:]))
		at += ivfFrameHeader
		frames = append(frames, file[at:at+size])
		at += size
	}
	return frames
}

func (p *participant) add(mime, id string) (*webrtc.TrackLocalStaticSample, *webrtc.RTPSender) {
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, id, "pion")
	must(err)
	transceiver, err := p.pc.AddTransceiverFromTrack(
		track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	must(err)
	return track, transceiver.Sender()
}

// play sends payloads over and over; write errors mean that the connection is gone.
func (p *participant) play(track *webrtc.TrackLocalStaticSample, payloads [][]byte, interval time.Duration) {
	next := 0
	for range time.Tick(interval) {
		if len(payloads) > 1 && atomic.SwapInt32(&p.restart, 0) == 1 {
			next = 0
		}
		sample := media.Sample{Data: payloads[next%len(payloads)], Duration: interval}
		if track.WriteSample(sample) != nil {
			return
		}
		next++
	}
}

// listen reads RTCP, which is what makes the interceptors answer NACKs.
func (p *participant) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				atomic.StoreInt32(&p.restart, 1)
			}
		}
	}
}

func (p *participant) publish(clip string) {
	audio, audioSender := p.add(webrtc.MimeTypeOpus, "audio")
	video, videoSender := p.add(webrtc.MimeTypeVP8, "video")
	go p.listen(audioSender)
	go p.listen(videoSender)
	go p.play(audio, [][]byte{opusSilence}, audioInterval)
	go p.play(video, clipFrames(clip), videoInterval)
	offer, err := p.pc.CreateOffer(nil)
	must(err)
	must(p.pc.SetLocalDescription(offer))
	p.say("offer", object{"sdp": offer.SDP, "type": "offer"})
}

func (p *participant) answer(sdp string) {
	must(p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}))
	answer, err := p.pc.CreateAnswer(nil)
	must(err)
	must(p.pc.SetLocalDescription(answer))
	p.say("answer", object{"sdp": answer.SDP, "type": "answer"})
}

func (p *participant) watch(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	go p.awaitGoodbye(receiver)
	count := &p.audio
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		count = &p.video
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if packet.Marker {
			atomic.AddInt64(count, 1)
		}
	}
}

// awaitGoodbye waits for RTCP's BYE: Pion does not show that a close_notify has come.
func (p *participant) awaitGoodbye(receiver *webrtc.RTPReceiver) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.Goodbye); ok {
				p.closing.Do(func() { close(p.closed) })
			}
		}
	}
}

func (p *participant) finish(first string) {
	if first == "close" {
		must(p.pc.Close())
		p.say("leave", object{})
		return
	}
	p.say("leave", object{})
	select {
	case <-p.closed:
	case <-time.After(goodbye):
		log.Fatal("the server did not say goodbye")
	}
}

func main() {
	room, clip := os.Args[1], os.Args[2]
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	must(err)
	p := &participant{pc: pc, closed: make(chan struct{})}
	pc.OnTrack(p.watch)
	p.say("join", object{"roomId": room, "userId": "pion", "name": "pion"})
	go func() {
		for range time.Tick(reportInterval) {
			p.report()
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var m message
		must(json.Unmarshal(lines.Bytes(), &m))
		switch m.Type {
		case "publish":
			p.publish(clip)
		case "offer":
			p.answer(m.Data.SDP)
		case "answer":
			must(p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.Data.SDP}))
		case "finish":
			p.finish(m.Data.First)
			return
		}
	}
}
