// Loads a gRPC server with calls of `apache.rocketmq.v2.MessagingService`, and prints what it measured as JSON.
//
// Each connection has a number of calls in flight. Every call has its own request id, and the date and signature of its
// second, as those of the official clients. A call counts only if the code in its answer is OK.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	address     = flag.String("address", "127.0.0.1:8081", "address of the server")
	kind        = flag.String("kind", "send", "`send`, or `receive` for receives and acknowledgements")
	topic       = flag.String("topic", "bench", "topic")
	group       = flag.String("group", "bench_group", "consumer group of receives")
	broker      = flag.String("broker", "broker-a", "broker of receives")
	user        = flag.String("user", "rocketmq", "access key")
	secret      = flag.String("secret", "12345678", "secret key")
	connections = flag.Int("connections", 16, "connections")
	depth       = flag.Int("depth", 8, "calls in flight on each connection")
	size        = flag.Int("size", 1024, "bytes of a body")
	warm        = flag.Duration("warm", time.Second, "time before the measurement")
	length      = flag.Duration("time", 5*time.Second, "time of the measurement")
	useTLS      = flag.Bool("tls", false, "use TLS, and accept any certificate")
	idle        = flag.Int("idle", 0, "open this number of connections with a Telemetry stream each, and wait for a line")
)

var numbers atomic.Int64

// headers returns the context of a call of a client.
func headers(ctx context.Context, client string) context.Context {
	date := time.Now().UTC().Format("20060102T150405Z")
	mac := hmac.New(sha1.New, []byte(*secret))
	mac.Write([]byte(date))
	signature := hex.EncodeToString(mac.Sum(nil))
	return metadata.AppendToOutgoingContext(ctx,
		"x-mq-language", "GO",
		"x-mq-protocol", "v2",
		"x-mq-request-id", fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), numbers.Add(1)),
		"x-mq-client-version", "5.1.4",
		"x-mq-client-id", client,
		"x-mq-date-time", date,
		"authorization", "MQv2-HMAC-SHA1 Credential="+*user+"//Rocketmq, SignedHeaders=x-mq-date-time, Signature="+signature)
}

func dial() *grpc.ClientConn {
	transport := insecure.NewCredentials()
	if *useTLS {
		transport = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(transport))
	fail(err)
	return connection
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// result is what one caller has measured.
type result struct {
	latencies []time.Duration
	codes     map[string]int
}

type caller struct {
	client pb.MessagingServiceClient
	id     string
	body   []byte
	result result
}

func (c *caller) send(ctx context.Context) string {
	number := numbers.Add(1)
	message := &pb.Message{
		Topic: &pb.Resource{Name: *topic},
		SystemProperties: &pb.SystemProperties{
			MessageId:     fmt.Sprintf("01%012X%08X%012X", os.Getpid(), number>>32, number),
			MessageType:   pb.MessageType_NORMAL,
			BodyEncoding:  pb.Encoding_IDENTITY,
			BornTimestamp: timestamppb.Now(),
			BornHost:      "bench",
		},
		Body: c.body,
	}
	answer, err := c.client.SendMessage(headers(ctx, c.id), &pb.SendMessageRequest{Messages: []*pb.Message{message}})
	if err != nil {
		return err.Error()
	}
	return answer.GetStatus().GetCode().String()
}

// receive receives messages once and acknowledges them in one call; it returns the number of messages and a code.
func (c *caller) receive(ctx context.Context) (int, string) {
	stream, err := c.client.ReceiveMessage(headers(ctx, c.id), &pb.ReceiveMessageRequest{
		Group:              &pb.Resource{Name: *group},
		MessageQueue:       &pb.MessageQueue{Topic: &pb.Resource{Name: *topic}, Id: -1, Broker: &pb.Broker{Name: *broker}},
		FilterExpression:   &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"},
		BatchSize:          16,
		InvisibleDuration:  durationpb.New(30 * time.Second),
		LongPollingTimeout: durationpb.New(5 * time.Second),
	})
	if err != nil {
		return 0, err.Error()
	}
	entries := []*pb.AckMessageEntry{}
	code := ""
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err.Error()
		}
		if status := answer.GetStatus(); status != nil {
			code = status.GetCode().String()
		}
		if message := answer.GetMessage(); message != nil {
			properties := message.GetSystemProperties()
			entries = append(entries, &pb.AckMessageEntry{
				MessageId: properties.GetMessageId(), ReceiptHandle: properties.GetReceiptHandle()})
		}
	}
	if len(entries) == 0 {
		return 0, code
	}
	answer, err := c.client.AckMessage(headers(ctx, c.id), &pb.AckMessageRequest{
		Group: &pb.Resource{Name: *group}, Topic: &pb.Resource{Name: *topic}, Entries: entries})
	if err != nil {
		return 0, err.Error()
	}
	return len(entries), answer.GetStatus().GetCode().String()
}

func (c *caller) run(begin, end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end.Add(20*time.Second))
	defer cancel()
	for {
		started := time.Now()
		if started.After(end) {
			return
		}
		count, code := 1, ""
		if *kind == "send" {
			code = c.send(ctx)
		} else {
			count, code = c.receive(ctx)
		}
		if ended := time.Now(); started.After(begin) && ended.Before(end) {
			c.result.codes[code] += max(count, 1)
			if code == "OK" {
				c.result.latencies = append(c.result.latencies, ended.Sub(started))
			}
		}
	}
}

// tell opens a Telemetry stream with the settings of a client, and leaves it open.
func tell(client pb.MessagingServiceClient, id string, settings *pb.Settings) {
	stream, err := client.Telemetry(headers(context.Background(), id))
	fail(err)
	fail(stream.Send(&pb.TelemetryCommand{Command: &pb.TelemetryCommand_Settings{Settings: settings}}))
	answer, err := stream.Recv()
	fail(err)
	if code := answer.GetStatus().GetCode(); code != pb.Code_OK {
		fail(fmt.Errorf("the settings were answered with %s", code))
	}
}

// wait keeps idle connections with a Telemetry stream each.
func wait() {
	for number := range *idle {
		kind := pb.ClientType_PRODUCER
		tell(pb.NewMessagingServiceClient(dial()), fmt.Sprintf("idle-%d", number), &pb.Settings{
			ClientType: &kind, PubSub: &pb.Settings_Publishing{
				Publishing: &pb.Publishing{Topics: []*pb.Resource{{Name: *topic}}}}})
	}
	fmt.Println("{}")
	_, _ = fmt.Scanln()
}

func main() {
	flag.Parse()
	if *idle > 0 {
		wait()
		return
	}
	begin := time.Now().Add(*warm)
	end := begin.Add(*length)
	callers := []*caller{}
	for connection := range *connections {
		client, id := pb.NewMessagingServiceClient(dial()), fmt.Sprintf("bench-%d-%d", os.Getpid(), connection)
		if *kind == "receive" {
			simple := pb.ClientType_SIMPLE_CONSUMER
			tell(client, id, &pb.Settings{ClientType: &simple, PubSub: &pb.Settings_Subscription{
				Subscription: &pb.Subscription{
					Group: &pb.Resource{Name: *group},
					Subscriptions: []*pb.SubscriptionEntry{{
						Topic:      &pb.Resource{Name: *topic},
						Expression: &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"}}}}}})
		}
		for range *depth {
			one := &caller{client: client, id: id, body: make([]byte, *size)}
			one.result.codes = map[string]int{}
			callers = append(callers, one)
		}
	}
	var running sync.WaitGroup
	for _, one := range callers {
		running.Add(1)
		go func() {
			defer running.Done()
			one.run(begin, end)
		}()
	}
	running.Wait()
	codes := map[string]int{}
	latencies := []time.Duration{}
	for _, one := range callers {
		latencies = append(latencies, one.result.latencies...)
		for code, count := range one.result.codes {
			codes[code] += count
		}
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	quantile := func(part float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[int(part*float64(len(latencies)-1))].Microseconds()) / 1000
	}
	fail(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"rate": float64(codes["OK"]) / length.Seconds(), "codes": codes, "p50_ms": quantile(0.5), "p99_ms": quantile(0.99)}))
}
