"""Bad networks on real sockets: after trouble the delay is what it was before, and memory stays bounded."""
import time

from lib.harness import check, test
from lib.phone import Phone, Trouble
from lib.proxy import Proxy
from lib.rtmpmini import Client, Meter, median, settled

NEAR = 0.040    # seconds that the delay may differ from its former value


def floor_of(bench, meter, seconds=3.0):
    """The delay before the trouble: the median of the last seconds."""
    meter.wait_first()
    time.sleep(seconds + 1)
    now = time.monotonic()
    floor = median(meter.between(now - seconds, now))
    bench.note("floor %.0f ms" % (floor * 1000))
    return floor


def back_within(bench, meter, since, floor, seconds=2.0):
    back = settled(meter, since, floor, NEAR)
    bench.note("back after %s" % ("never" if back is None else "%.1f s" % back))
    later = meter.between(since + seconds, since + 60)
    check(later, "nothing came back after the trouble")
    check(back is not None and back <= seconds,
          "delay was %.0f ms before; after the trouble it came back %s; then median %.0f, longest %.0f ms" % (
              floor * 1000, "never" if back is None else "after %.1f s" % back,
              median(later) * 1000, max(later) * 1000))


def lossy(bench, loss):
    gateway = bench.gateway()
    inbound = Trouble(loss, 0.05, 0.05, seed=7)
    outbound = Trouble(loss, 0.05, 0.05, seed=8)
    phone = Phone(bench, echo=True, inbound=inbound, outbound=outbound)
    client = Client(gateway.rtmp)
    meter = Meter(client, phone.uri())
    floor = floor_of(bench, meter)
    inbound.on = outbound.on = True
    begun = time.monotonic()
    time.sleep(8)
    inbound.on = outbound.on = False
    ended = time.monotonic()
    time.sleep(6)
    meter.stop()
    during = meter.between(begun + 1, ended)
    share = len(during) / ((ended - begun - 1) * 50)
    bench.note("%d and %d packets lost, %.0f %% came back" % (inbound.lost, outbound.lost, 100 * share))
    # Twice lossy: (1 - loss) squared arrive, and up to a fifth of that late for the jitter buffer.
    check(share > (1 - loss) ** 2 * 0.8, "only %.0f %% came back during the trouble" % (100 * share))
    back_within(bench, meter, ended, floor)
    check(not phone.legs[-1].ended, "the call ended")
    client.close()


@test(seconds=60)
def network_rtp_loss_10(bench):
    """10 % RTP loss each way, 5 % reordered, 5 % doubled: the call goes on, delay comes back"""
    lossy(bench, 0.10)


@test(seconds=60)
def network_rtp_loss_30(bench):
    """30 % RTP loss each way, 5 % reordered, 5 % doubled"""
    lossy(bench, 0.30)


def slow_reader(bench, far_end):
    gateway = bench.gateway()
    target = "echo" if far_end == "echo" else Phone(bench, echo=True).uri()
    player = Client(gateway.rtmp, receive_buffer=4096)
    client = Client(gateway.rtmp)
    meter = Meter(client, target, player)
    floor = floor_of(bench, meter)
    memory = gateway.memory()
    player.reading.clear()
    time.sleep(5)
    grown = gateway.memory() - memory
    player.reading.set()
    since = time.monotonic()
    time.sleep(5)
    meter.stop()
    bench.note("grew %d KiB" % grown)
    check(grown < 2048, "memory grew by %d KiB" % grown)
    check(not client.closed and not player.closed, "the connection was ended: %s" % (client.closed or player.closed))
    back_within(bench, meter, since, floor)
    client.close()


@test(seconds=60)
def network_slow_reader_echo(bench):
    """a TCP client that stops reading for 5 s then hears the present, not the past (echo)"""
    slow_reader(bench, "echo")


@test(seconds=60)
def network_slow_reader_phone(bench):
    """the same with a SIP phone as the far end"""
    slow_reader(bench, "phone")


@test(seconds=60)
def network_slow_reader_never_resumes(bench):
    """a client that stops reading for good costs bounded memory, and another call loses nothing"""
    gateway = bench.gateway()
    other = Client(gateway.rtmp)
    meter = Meter(other, Phone(bench, echo=True).uri())
    floor_of(bench, meter, 1)
    stuck = [Client(gateway.rtmp, receive_buffer=4096) for _ in range(10)]
    for each in stuck:
        each.play("tone")
        each.reading.clear()
    time.sleep(2)
    memory, before = gateway.memory(), len(meter.delays)
    time.sleep(8)
    grown = gateway.memory() - memory
    bench.note("grew %d KiB in 8 s with ten stuck clients" % grown)
    check(grown < 2048, "memory grew by %d KiB" % grown)
    check(len(meter.delays) - before > 8 * 50 - 15, "the other call got %d frames in 8 s" % (
        len(meter.delays) - before))
    for each in stuck:
        each.reading.set()
        each.close()
    other.close()


def stalled_uplink(bench, far_end):
    gateway = bench.gateway()
    target = "echo" if far_end == "echo" else Phone(bench, echo=True).uri()
    client = Client(gateway.rtmp)
    meter = Meter(client, target)
    floor = floor_of(bench, meter)
    meter.hold = True
    time.sleep(3)
    meter.hold = False
    since = time.monotonic()
    time.sleep(5)
    meter.stop()
    back_within(bench, meter, since, floor)
    client.close()


@test(seconds=60)
def network_stalled_uplink_echo(bench):
    """an uplink that stalls for 3 s and then delivers all at once: old audio is dropped (echo)"""
    stalled_uplink(bench, "echo")


@test(seconds=60)
def network_stalled_uplink_phone(bench):
    """the same with a SIP phone as the far end"""
    stalled_uplink(bench, "phone")


@test(seconds=60)
def network_stalled_flashgate_call(bench):
    """`flashgate call` through a proxy that passes nothing either way for 5 s: it goes on, delay comes back"""
    gateway = bench.gateway()
    proxy = Proxy(bench, gateway.rtmp)
    call = bench.call(gateway, "echo", "--duration", 20, address="127.0.0.1:%d" % proxy.port)
    time.sleep(7)
    proxy.pause()
    time.sleep(5)
    proxy.resume()
    report = call.report(30, status=0)
    trips = report["round_trip_over_time"]    # (when the mark left, in s; delay in ms)
    first = median([delay for when, delay in trips if when < 6])
    late = [delay for when, delay in trips if when >= 14.5]
    check(late, "no mark came back after the pause: %s" % trips)
    bench.note("%.0f ms before, %.0f ms after" % (first, median(late)))
    check(max(late) < first + NEAR * 1000, "%.0f ms before, afterwards %s" % (first, late))
