"""TLS to the broker: a CA of our own, host names, client certificates, passwords."""
import contextlib
import itertools
import pathlib
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from world import Broker, Ingest, free_port, is_listening, wait_until


def openssl(*arguments, folder):
    subprocess.run(['openssl', *arguments], cwd=folder, check=True, capture_output=True)


def make_ca(folder, name):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', f'{name}.key', '-out', f'{name}.pem', '-subj', f'/CN={name}', '-days', '2',
            folder=folder)


def make_certificate(folder, ca, name, subject_alternative):
    (folder / f'{name}.ext').write_text(f'subjectAltName={subject_alternative}\n')
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
            f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}', folder=folder)
    openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{ca}.pem', '-CAkey', f'{ca}.key',
            '-CAcreateserial', '-out', f'{name}.pem', '-days', '2', '-extfile', f'{name}.ext',
            folder=folder)


@pytest.fixture(scope='module')
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp('keys')
    make_ca(folder, 'ca')
    make_ca(folder, 'stranger')
    make_certificate(folder, 'ca', 'local', 'DNS:localhost')
    make_certificate(folder, 'ca', 'address', 'IP:127.0.0.1')
    make_certificate(folder, 'ca', 'elsewhere', 'DNS:broker.example')
    make_certificate(folder, 'ca', 'gateway', 'DNS:gateway')
    return folder


def tls_broker(folder, keys, certificate, *lines):
    return Broker(folder, listener='\n'.join([
        'allow_anonymous true', f'cafile {keys}/ca.pem', f'certfile {keys}/{certificate}.pem',
        f'keyfile {keys}/{certificate}.key', *lines]))


def tls_ingest(folder, broker, host='localhost', **options):
    return Ingest(folder, broker.port, ['a'], options, scheme='mqtts', host=host)


@pytest.mark.parametrize('certificate,host', [('local', 'localhost'), ('address', '127.0.0.1')])
def test_the_right_certificate_is_taken(tmp_path, keys, certificate, host):
    with tls_broker(tmp_path, keys, certificate) as broker:
        with tls_ingest(tmp_path, broker, host, broker_ca=keys / 'ca.pem') as ingest:
            ingest.wait_ready()
            assert 'broker_insecure' not in ingest.log()


def test_a_certificate_for_another_host_is_refused(tmp_path, keys):
    with tls_broker(tmp_path, keys, 'elsewhere') as broker:
        with tls_ingest(tmp_path, broker, broker_ca=keys / 'ca.pem') as ingest:
            ingest.wait_log("TLS: the broker's certificate is not for host 'localhost'")
            assert ingest.stats()['connects'] == 0


@pytest.mark.parametrize('ca', ['stranger', None])
def test_an_unknown_signer_is_refused(tmp_path, keys, ca):
    options = {'broker_ca': keys / f'{ca}.pem'} if ca else {}
    with tls_broker(tmp_path, keys, 'local') as broker:
        with tls_ingest(tmp_path, broker, **options) as ingest:
            ingest.wait_log('TLS: certificate verify failed')
            assert ingest.stats()['connects'] == 0


def test_insecure_takes_anything_and_is_warned_about(tmp_path, keys):
    with tls_broker(tmp_path, keys, 'elsewhere') as broker:
        with tls_ingest(tmp_path, broker, broker_insecure='true') as ingest:
            ingest.wait_ready()
            assert 'warning ingest: broker_insecure is set' in ingest.log()


def test_mutual_tls(tmp_path, keys):
    with tls_broker(tmp_path, keys, 'local', 'require_certificate true',
                    'use_identity_as_username true') as broker:
        with tls_ingest(tmp_path, broker, broker_ca=keys / 'ca.pem',
                        broker_certificate=keys / 'gateway.pem',
                        broker_key=keys / 'gateway.key') as ingest:
            ingest.wait_ready()
            assert "u'gateway'" in (broker.folder / 'log').read_text()
        with tls_ingest(tmp_path, broker, broker_ca=keys / 'ca.pem') as ingest:
            ingest.wait_log('it may want a client certificate (broker_certificate)')


@contextlib.contextmanager
def hasty_server(keys):
    """A port that resets every other handshake, and wants a client certificate in the rest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / 'local.pem', keys / 'local.key')
    context.load_verify_locations(keys / 'ca.pem')
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(listener):
        for turn in itertools.count():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.settimeout(5)
                if turn % 2 == 0:
                    peer.recv(100)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                else:
                    context.wrap_socket(peer, server_side=True).recv(100)

    with socket.create_server(('127.0.0.1', 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def test_a_reset_in_the_handshake_is_not_taken_for_a_wrong_name(tmp_path, keys):
    with hasty_server(keys) as port:
        with Ingest(tmp_path, port, ['a'], {'broker_ca': keys / 'ca.pem', 'sync': 'interval'},
                    scheme='mqtts', host='localhost') as ingest:
            ingest.wait_log('it may want a client certificate (broker_certificate)')
            assert 'is not for host' not in ingest.log()


def test_a_new_certificate_is_read_at_the_next_connection(tmp_path, keys):
    current = pathlib.Path(tmp_path / 'current.pem')
    current.write_bytes((keys / 'stranger.pem').read_bytes())
    with tls_broker(tmp_path, keys, 'local') as broker:
        with tls_ingest(tmp_path, broker, broker_ca=current) as ingest:
            ingest.wait_log('TLS: certificate verify failed')
            current.write_bytes((keys / 'ca.pem').read_bytes())
            ingest.wait_ready()


@pytest.mark.parametrize('version', ['-tls1', '-tls1_1'])
def test_old_versions_of_tls_are_refused(tmp_path, keys, version):
    port = free_port()
    server = subprocess.Popen(
        ['openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-cert', str(keys / 'local.pem'),
         '-key', str(keys / 'local.key'), version, '-cipher', 'ALL:@SECLEVEL=0', '-quiet'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(port), 's_server')
        with Ingest(tmp_path, port, ['a'], {'broker_ca': keys / 'ca.pem'}, scheme='mqtts',
                    host='localhost', environment={'OPENSSL_CONF': '/dev/null'}) as ingest:
            ingest.wait_log('TLS: ')
            assert 'verify' not in ingest.log()
    finally:
        server.kill()
        assert b'MQTT' not in server.communicate()[0]


@pytest.mark.parametrize('options,words', [
    ({'broker_ca': '/nowhere.pem'}, "cannot read broker_ca '/nowhere.pem': No such file"),
    ({'broker_key': '/etc/hostname'}, 'broker_key is set but broker_certificate is not')])
def test_unusable_files_are_named(tmp_path, options, words):
    with Ingest(tmp_path, 1, ['a'], options, scheme='mqtts', host='localhost') as ingest:
        ingest.wait_log(words)


def test_tls_options_without_tls_are_an_error(tmp_path, keys):
    with Ingest(tmp_path, 1, ['a'], {'broker_ca': keys / 'ca.pem'}) as ingest:
        ingest.wait_log('need TLS')
        ingest.wait_log('write the broker\'s address as mqtts://127.0.0.1')


def test_a_wrong_password_is_named(tmp_path, keys):
    passwords = tmp_path / 'passwords'
    subprocess.run(['mosquitto_passwd', '-b', '-c', str(passwords), 'gw', 'right'], check=True)
    with Broker(tmp_path, listener=f'password_file {passwords}') as broker:
        secret = tmp_path / 'secret'
        secret.write_text('right\n')
        with Ingest(tmp_path, broker.port, ['a'], {
                'broker_username': 'gw', 'broker_password': 'wrong-S3CR3T'}) as ingest:
            ingest.wait_log('the broker refuses: not authorised (broker_username, broker_password)')
            assert 'S3CR3T' not in ingest.log()
            command = pathlib.Path(f'/proc/{ingest.pid()}/cmdline').read_bytes()
            assert command == b'headgate\0ingest\0'
        for version in ('5', '3.1.1'):
            with Ingest(tmp_path, broker.port, ['a'], {
                    'broker_username': 'gw', 'broker_password': f'file:{secret}',
                    'broker_protocol': version}) as ingest:
                ingest.wait_ready()
