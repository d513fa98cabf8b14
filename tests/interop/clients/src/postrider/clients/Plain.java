package postrider.clients;

import static postrider.clients.Branches.recover;
import static postrider.clients.Branches.rollback;
import static postrider.clients.Branches.twoBranches;
import static postrider.clients.Connections.clientIdTwice;
import static postrider.clients.Connections.closes;
import static postrider.clients.Connections.failover;
import static postrider.clients.Connections.keepAlive;
import static postrider.clients.Connections.manySessions;
import static postrider.clients.Connections.modern;
import static postrider.clients.Connections.nio;
import static postrider.clients.Connections.speaks;
import static postrider.clients.Promises.durable;
import static postrider.clients.Promises.selectors;
import static postrider.clients.Promises.transacted;
import static postrider.clients.Queues.browser;
import static postrider.clients.Queues.clientAcknowledge;
import static postrider.clients.Queues.compositeSend;
import static postrider.clients.Queues.deadLetters;
import static postrider.clients.Queues.expiry;
import static postrider.clients.Queues.individual;
import static postrider.clients.Queues.large;
import static postrider.clients.Queues.receiveNoWait;
import static postrider.clients.Queues.types;
import static postrider.clients.Queues.wildcard;
import static postrider.clients.Traffic.N;
import static postrider.clients.Traffic.deletedTemporary;
import static postrider.clients.Traffic.listeners;
import static postrider.clients.Traffic.oneWay;
import static postrider.clients.Traffic.requestReply;
import static postrider.clients.Traffic.temporaryTopic;
import static postrider.clients.Traffic.topic;
import static postrider.clients.Traffic.url;

import javax.jms.*;

/** What an application does with ActiveMQ's own client: `Plain URL LABEL`. */
public final class Plain {
    private Plain() {}

    public static void main(String[] a) throws Exception {
        url = a[0];
        Check check = new Check(a[1]);
        check.that("persistent-1000", () -> oneWay("", "persistent", DeliveryMode.PERSISTENT, N));
        check.that("non-persistent-1000", () -> oneWay("", "nonpersistent", DeliveryMode.NON_PERSISTENT, N));
        check.that("listeners-1000", () -> listeners());
        check.that("request-reply", () -> requestReply());
        check.that("temporary-topic", () -> temporaryTopic());
        check.that("deleted-temporary-queue", () -> deletedTemporary());
        check.that("topic-1000", () -> topic());
        check.that("client-acknowledge", () -> clientAcknowledge());
        check.that("individual-acknowledge", () -> individual());
        check.that("dups-ok", () -> oneWay("jms.optimizeAcknowledge=false", "dups", DeliveryMode.PERSISTENT, 200, Session.DUPS_OK_ACKNOWLEDGE));
        check.that("redelivery-to-dlq", () -> deadLetters());
        check.that("types", () -> types());
        check.that("large-5MB", () -> large(""));
        if (modern()) check.that("large-compressed", () -> large("jms.useCompression=true")); // 5.4's use of Deflater does not work on Java 17
        check.that("browser", () -> browser());
        check.that("expiry", () -> expiry());
        check.that("composite-send", () -> compositeSend());
        check.that("wildcard-consumer", () -> wildcard());
        check.that("transacted", () -> transacted());
        check.that("xa-two-branches", () -> twoBranches());
        check.that("xa-rollback", () -> rollback());
        check.that("xa-recover", () -> recover());
        check.that("durable-subscription", () -> durable());
        check.that("selectors", () -> selectors());
        check.that("prefetch-0", () -> oneWay("jms.prefetchPolicy.queuePrefetch=0", "pull", DeliveryMode.PERSISTENT, 200));
        check.that("prefetch-1", () -> oneWay("jms.prefetchPolicy.queuePrefetch=1", "prefetch1", DeliveryMode.PERSISTENT, 200));
        check.that("receive-no-wait", () -> receiveNoWait());
        check.that("optimize-acknowledge", () -> oneWay("jms.optimizeAcknowledge=true", "optack", DeliveryMode.PERSISTENT, N));
        check.that("async-send", () -> oneWay("jms.useAsyncSend=true", "async", DeliveryMode.PERSISTENT, N));
        check.that("sync-send-non-persistent", () -> oneWay("jms.alwaysSyncSend=true", "sync", DeliveryMode.NON_PERSISTENT, 200));
        check.that("producer-window", () -> oneWay("jms.useAsyncSend=true&jms.producerWindowSize=8192", "window", DeliveryMode.PERSISTENT, N));
        check.that("send-timeout", () -> oneWay("jms.sendTimeout=5000", "timeout", DeliveryMode.PERSISTENT, 100));
        check.that("client-id-twice", () -> clientIdTwice());
        check.that("tight-encoding", () -> oneWay("wireFormat.tightEncodingEnabled=true", "tight", DeliveryMode.PERSISTENT, 200));
        check.that("loose-encoding", () -> oneWay("wireFormat.tightEncodingEnabled=false", "loose", DeliveryMode.PERSISTENT, 200));
        check.that("no-cache", () -> oneWay("wireFormat.cacheEnabled=false", "nocache", DeliveryMode.PERSISTENT, 200));
        check.that("no-size-prefix", () -> oneWay("wireFormat.sizePrefixDisabled=true", "nosize", DeliveryMode.PERSISTENT, 200));
        check.that("small-cache", () -> oneWay("wireFormat.cacheSize=128", "smallcache", DeliveryMode.PERSISTENT, 200));
        for (int v = 1; v <= 12; v++) if (speaks(v)) { int version = v; check.that("wire-version-" + v, () -> oneWay("wireFormat.version=" + version, "v" + version, DeliveryMode.PERSISTENT, 50)); }
        check.that("failover-url", () -> failover());
        check.that("nio-url", () -> nio());
        check.that("keep-alive", () -> keepAlive());
        check.that("many-sessions", () -> manySessions());
        check.that("closes-cleanly", () -> closes());
        check.end();
    }
}
